"""Why a call of a filter's hook has no result."""

from mesh.errors import PeerError, UnavailableError


class FilterFailedError(PeerError):
    """A filter's hook raised, or gave what it may not give."""

    code = "filter_failed"


class FilterOverBudgetError(PeerError):
    """A filter's hook took longer than its budget, and its process was ended."""

    code = "filter_over_budget"


class FilterLostError(UnavailableError):
    """The filters' process ended while it had this call, because of another one."""

    code = "filter_lost"


class FilterEndedError(PeerError):
    """The filters' process ended by itself while it had this call."""

    code = "filter_ended"


class FilterNotLoadedError(UnavailableError):
    """A filter that is not loaded (yet): its source is missing, or is invalid."""

    code = "filter_not_loaded"


class FilterBusyError(UnavailableError):
    """Too many calls wait for the filters' process."""

    code = "filter_busy"


FilterError = FilterFailedError | FilterOverBudgetError | FilterEndedError | FilterLostError
