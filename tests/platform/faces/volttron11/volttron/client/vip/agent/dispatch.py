class Signal:
    def __init__(self):
        self._receivers = []

    def connect(self, receiver, owner=None):
        self._receivers.append(receiver)

    def send(self, sender, **kwargs):
        return [receiver(sender, **kwargs) for receiver in self._receivers]
