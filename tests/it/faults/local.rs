//! The machine itself: disks, signals, clocks, damaged files (L1 to L26).
