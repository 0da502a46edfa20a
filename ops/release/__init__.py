"""What a release needs beside the code: locked packages with their hashes, advisories, a bill of
materials. `scripts/test.sh lint` and the tests run the checks."""
