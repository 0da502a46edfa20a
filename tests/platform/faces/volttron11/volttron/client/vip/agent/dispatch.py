import weakref


class Signal:
    """As VOLTTRON's, it keeps no receiver alive."""

    def __init__(self):
        self._receivers = weakref.WeakValueDictionary()

    def connect(self, receiver, owner=None):
        self._receivers[receiver] = receiver if owner is None else owner

    def send(self, sender, **kwargs):
        return [receiver(sender, **kwargs) for receiver in list(self._receivers)]
