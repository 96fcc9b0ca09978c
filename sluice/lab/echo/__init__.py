"""The built-in echo server: answers with what it was asked, as the public ones do."""
