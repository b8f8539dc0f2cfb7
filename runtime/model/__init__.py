"""The values that all parts of the runtime speak in. Pure: no clock, no environment, no I/O."""
