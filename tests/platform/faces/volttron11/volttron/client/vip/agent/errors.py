import errno


class VIPError(Exception):
    def __init__(self, errnum, msg, peer, subsystem, *args):
        super().__init__(errnum, msg, peer, subsystem, *args)
        self.errno = int(errnum)
        self.msg = msg
        self.peer = peer
        self.subsystem = subsystem

    @classmethod
    def from_errno(cls, errnum, msg, *args):
        """As in 10 and 11: a number as text ("113", from Python 3.11) is an AttributeError."""
        if isinstance(errnum, str):
            errnum = getattr(errno, errnum.split(".")[-1])
        kind = {errno.EHOSTUNREACH: Unreachable, errno.EAGAIN: Again}.get(errnum, cls)
        return kind(errnum, msg, *args)


class Unreachable(VIPError):
    pass


class Again(VIPError):
    pass
