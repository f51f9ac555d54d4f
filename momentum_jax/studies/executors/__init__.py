"""Where the runs of a study are trained: in this process, or by workers of any `concurrent.futures.Executor`.

here          this process, wave by wave
elsewhere     the coordinator: it cuts jobs into chunks, submits them, and alone writes the store
worker        the other side: one chunk, from an order in JSON to rows and curves
message       what goes between them
sent_files    the user's files, by content
canary        a digest of a small run, by which machines with other arithmetic are known
local_dask    Dask as the engine: workers on this machine, a scheduler that runs, workers for one
"""
