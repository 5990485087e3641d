//! unscene-benchmarks
