//! What the API answers, or does not: A1 to A32.
