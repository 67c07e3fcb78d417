"""A graph on its way through the runner; several may go side by side and share what they make."""

from dataclasses import dataclass, field

from pipeline.planning.plan import Planner, Step
from pipeline.recipe.graph import Graph, Node
from pipeline.running.tasks import Failure, ShardRun, WholeRun


@dataclass(frozen=True)
class Validation:
    """What a training told of its model after `step` updates."""

    node: str
    step: int
    figures: dict[str, float]


@dataclass
class Lane:
    """One graph: what of it is done, in hand, and given up. A label tells it from those beside it."""

    graph: Graph
    steps: dict[str, Step] = field(default_factory=dict)
    label: str = ""
    # Node -> name of the artefact that is being made, for this lane alone or for others as well.
    in_hand: dict[str, str] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    # As they came; whoever reads them takes them out.
    validations: list[Validation] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether, once it was begun, all of it is done that can be done."""
        return not self.in_hand

    def ready(self, planner: Planner) -> list[Step]:
        """Steps that can be started; what turns out to be there already is done at once."""
        ready: list[Step] = []
        for node in self.graph.nodes:
            if node.name in {*self.steps, *self.in_hand, *self.failures} or not self._has_inputs(node):
                continue
            step = planner.step(node, self.steps)
            if step.state == "done":
                self.steps[node.name] = step
            else:
                ready.append(step)
        return ready

    def take(self, run: WholeRun | ShardRun, planner: Planner) -> None:
        """What it waited for has ended. When that was stopped for another's sake it is started anew."""
        name = run.step.node.name
        del self.in_hand[name]
        if run.stopped:
            return
        if not run.failures:
            step = planner.step(self.graph[name], self.steps)
            if step.state == "done":
                self.steps[name] = step
                return
            run.failures.append(Failure(name, "", "its manifest is not there though it ended; run again"))
        self.failures[name] = list(run.failures)

    def skipped(self) -> list[str]:
        """Nodes that cannot be run, because they need what failed."""
        return [node.name for node in self.graph.nodes if node.name not in {*self.steps, *self.failures}]

    def _has_inputs(self, node: Node) -> bool:
        return all(name in self.steps for name in node.inputs.values())
