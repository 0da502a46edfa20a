"""What a working VEN needs, looked at piece by piece; and the archive for who helps from afar."""
