"""How the report is drawn: facts from artefacts, charts, differences between texts, the page."""
