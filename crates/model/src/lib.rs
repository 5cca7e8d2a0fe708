//! Samples, values, commands and the one place that builds topics and payloads
