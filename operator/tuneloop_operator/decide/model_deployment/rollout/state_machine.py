"""The state machine of a roll-out: from its phase and what the facts say to the transition that follows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.situation import Situation, situation_of
from tuneloop_operator.decide.model_deployment.rollout.state import Phase

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.situation import Moment


class Transition(StrEnum):
    """What happens next."""

    WAIT = "Wait"
    """Nothing changes but the reason that people read."""
    START = "Start"
    """Take the revision that is asked for as the canary."""
    BEGIN = "Begin"
    """The canary has its servers: go on to its step."""
    SHIFT = "Shift"
    """Give the canary the weight that its servers can carry on the way to the goal."""
    START_CLOCK = "StartClock"
    ADVANCE = "Advance"
    PAUSE = "Pause"
    HOLD = "Hold"
    GIVE_UP = "GiveUp"
    """Hold, and take all requests away: nobody can say whether the canary does harm."""
    TIME_OUT = "TimeOut"
    SLEEP = "Sleep"
    WITHDRAW = "Withdraw"
    """Take all requests away from a canary that has no server, at once."""
    REJECT = "Reject"
    SUPERSEDE = "Supersede"
    TAKE_BACK = "TakeBack"
    """Give all requests back to stable."""
    END = "End"
    """The canary is out: the roll-out has ended without a promotion."""
    CONFIRM = "Confirm"
    """The canary carries everything: it is stable now."""
    REVERT = "Revert"
    """Go back to the revision before stable."""
    DROP = "Drop"
    """Stop going back: the old revision cannot start either."""
    FINISH = "Finish"
    """The revision is baked."""
    FORGET = "Forget"
    """The window for a roll-back is over."""


_W = Transition.WAIT
_COLUMNS = (
    (Phase.STARTING,),
    (Phase.PROGRESSING, Phase.PAUSED),
    (Phase.HELD,),
    (Phase.PROMOTING,),
    (Phase.ROLLING_BACK,),
    (Phase.REVERTING,),
    (Phase.BAKING,),
    (Phase.DONE, Phase.ABORTED, Phase.ROLLED_BACK),
)
# fmt: off
_ROWS: dict[Situation, tuple[Transition, ...]] = {
    # Starting, Progressing, Held, Promoting, RollingBack, Reverting, Baking, idle
    Situation.CANARY_DOWN: (
        Transition.WITHDRAW, Transition.WITHDRAW, Transition.WITHDRAW, Transition.WITHDRAW, Transition.WITHDRAW, Transition.WITHDRAW, _W, _W),
    Situation.NO_WAY_BACK: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.CANARY_BROKEN: (
        Transition.REJECT, Transition.REJECT, Transition.REJECT, Transition.REJECT, _W, Transition.DROP, _W, _W),
    Situation.OTHER_REVISION: (
        Transition.SUPERSEDE, Transition.SUPERSEDE, Transition.SUPERSEDE, Transition.SUPERSEDE, _W, _W, Transition.START, Transition.START),
    Situation.HARM: (
        Transition.REJECT, Transition.REJECT, Transition.REJECT, Transition.REJECT, _W, _W, Transition.REVERT, Transition.REVERT),
    Situation.TOLERATED_HARM: (_W, Transition.HOLD, _W, Transition.HOLD, _W, _W, _W, _W),
    Situation.GIVEN_UP: (_W, Transition.GIVE_UP, Transition.GIVE_UP, Transition.GIVE_UP, _W, _W, _W, _W),
    Situation.ASLEEP: (Transition.SLEEP, Transition.SLEEP, _W, Transition.SLEEP, _W, _W, _W, _W),
    Situation.STABLE_DOWN: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.TOO_LONG: (Transition.TIME_OUT, Transition.HOLD, _W, _W, _W, _W, _W, _W),
    Situation.NOT_READY: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.READY: (
        Transition.BEGIN, Transition.SHIFT, _W, Transition.SHIFT, Transition.TAKE_BACK, Transition.SHIFT, _W, _W),
    Situation.NOT_IN_FORCE: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.REFUSED: (Transition.HOLD, Transition.HOLD, _W, Transition.HOLD, _W, _W, _W, _W),
    Situation.IN_FORCE: (
        _W, Transition.START_CLOCK, Transition.START_CLOCK, Transition.CONFIRM, Transition.END, Transition.CONFIRM, _W, _W),
    Situation.TOO_EARLY: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.THIN: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.UNDECIDED: (_W, _W, _W, _W, _W, _W, _W, _W),
    Situation.NEEDS_APPROVAL: (_W, Transition.PAUSE, _W, _W, _W, _W, _W, _W),
    Situation.COMPLETE: (_W, Transition.ADVANCE, _W, _W, _W, _W, Transition.FINISH, Transition.FORGET),
    Situation.SETTLED: (_W, _W, _W, _W, _W, _W, _W, _W),
}
# fmt: on
TABLE: dict[tuple[Phase, Situation], Transition] = {
    (phase, situation): transition
    for situation, row in _ROWS.items()
    for phases, transition in zip(_COLUMNS, row, strict=True)
    for phase in phases
}


def transition_of(moment: Moment) -> tuple[Transition, Situation]:
    """Return the transition that the table gives, and the situation that it is for."""
    situation = situation_of(moment)
    return TABLE[moment.rollout.phase, situation], situation
