"""The only modules that know HDF5 and the run folder.

| what | module |
|---|---|
| arrays as sealed HDF5 images | `hdf5` |
| what arrays of a file must be | `checks` |
| archive.h5 | `archive_file` |
| what each dataset means | `schema` |
| target.h5 | `target_file` |
| checkpoints | `checkpoint` |
| paths, locks, who owns a run folder | `run_folder` |
| structures dropped into seeds/ | `seed_folder` |
"""
