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
        """As in 9: a name ("Errno.EHOSTUNREACH", from Python 3.10) is a ValueError."""
        kind = {errno.EHOSTUNREACH: Unreachable, errno.EAGAIN: Again}.get(int(errnum), cls)
        return kind(int(errnum), msg, *args)


class Unreachable(VIPError):
    pass


class Again(VIPError):
    pass
