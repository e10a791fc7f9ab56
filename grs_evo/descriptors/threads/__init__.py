"""Threads of this process that share the chunks of a large structure, or the structures of a pool (`workers`)."""
