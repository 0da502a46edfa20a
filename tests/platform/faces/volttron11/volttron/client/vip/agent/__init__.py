class Agent:
    pass


class Core:
    pass


class PubSub:
    pass


class RPC:
    pass
