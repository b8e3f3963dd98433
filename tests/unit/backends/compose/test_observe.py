from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sf.backends.compose.observe import observe
from sf.backends.compose.record import Sealed
from sf.models import Change

if TYPE_CHECKING:
    from sf.tools.docker import Engine


def test_a_service_without_containers_that_was_never_deployed_is_new() -> None:
    desired = {"web": Sealed(fields={}, files={}, inline={}, replicas=0)}
    (state,) = observe(
        desired, inactive=(), record=None, containers=(), edited=(), engine=cast("Engine", None)
    )
    assert state.change.change is Change.ADD
    assert [reason.message for reason in state.change.reasons] == ["it was never deployed here"]
