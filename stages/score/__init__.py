"""score: soft targets by teacher forcing, through CTranslate2 or PyTorch."""
