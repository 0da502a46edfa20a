class Error(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(*((code, message) if data is None else (code, message, data)))
        self.code = code
        self.message = message
        self.data = data

    def __str__(self):
        return str((self.data or {}).get("detail", self.message))


class RemoteError(Exception):
    def __init__(self, message, **exc_info):
        super().__init__(f"{exc_info.get('exc_type')}: {message}")
        self.message = message
        self.exc_info = exc_info
