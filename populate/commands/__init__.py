"""The subcommands of ``vbn``, one module each: parse, call one function of the library, render."""
