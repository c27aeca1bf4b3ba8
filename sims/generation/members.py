"""The members of an ensemble that each rank has."""

from hpcbench.parallel.ranks import share

MEMBER_GROUP = 2
"""Members are given to ranks in groups of this size, because compiled steppers may advance two
trajectories in one complex array; a member then has the same companion on any number of ranks."""


def num_groups(num_members: int) -> int:
    """Return the number of groups of members, the last of which may be smaller."""
    return -(-num_members // MEMBER_GROUP)


def share_members(num_members: int, rank: int, size: int) -> range:
    """Return the members of a rank: contiguous, whole groups, as even as groups allow."""
    groups = share(num_groups(num_members), rank, size)
    first, last = groups.start * MEMBER_GROUP, groups.stop * MEMBER_GROUP
    return range(first, min(last, num_members))
