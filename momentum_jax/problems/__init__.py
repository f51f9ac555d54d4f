"""Problems that come with the library: each is a file, real, without a download, and an example to copy."""
