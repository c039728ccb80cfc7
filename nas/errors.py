"""The error tree: what went wrong, where, and what to do about it."""


class NasError(Exception):
    """Base of all errors that a user can cause or mend; the command line prints one line and exits 2."""


class SpecError(NasError):
    """A file that people write (space, device, study) says something it may not."""


class ArchitectureError(NasError):
    """A network that cannot exist: an impossible skip, a width of zero, layers behind the classifier."""


class SpaceError(NasError):
    """A network that is not a point of the search space, or an unknown space."""


class LatencyError(NasError):
    """A latency table or device that cannot answer."""


class MissingOpError(LatencyError):
    """An op that the table has not measured; the message names it and the command that measures it."""


class BudgetError(NasError):
    """A budget without a unit, not positive, or below what any network of the space reaches."""


class DataError(NasError):
    """Images or labels that are absent, broken or not what they claim to be."""


class StoreError(NasError):
    """A trial database that cannot be opened, read or written."""


class TransientError(StoreError):
    """A database server that does not answer or took a transaction back, for a reason that passes by itself."""


class StudyError(NasError):
    """A study that cannot go on: held by another process, or its settings have changed."""


class ClusterError(NasError):
    """A Ray cluster that cannot be reached, or has no room for a single trial."""


class AccuracyError(NasError):
    """An accuracy model that is absent, damaged or ignorant of a network; trained networks that make none."""
