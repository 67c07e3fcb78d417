"""The toy pipeline's stages."""

from pipeline.recipe.graph import StageEntry

TOY_STAGES = (
    StageEntry("corpus", "tests.pipeline.toy.corpus", required=True),
    StageEntry("shout", "tests.pipeline.toy.shout"),
    StageEntry("count", "tests.pipeline.toy.count"),
    StageEntry("total", "tests.pipeline.toy.total"),
    StageEntry("base", "tests.pipeline.toy.total", "total", only_with="base", fixed={"data": "rows"}),
    StageEntry("student", "tests.pipeline.toy.train", only_with="student"),
    StageEntry("report", "tests.pipeline.toy.report"),
)
