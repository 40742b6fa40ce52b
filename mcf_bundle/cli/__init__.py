"""The subcommands of ``python -m mcf_bundle``, one file each; `table` lists them."""
