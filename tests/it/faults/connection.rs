//! IMAP up to the fetch, and IDLE: connecting, signing in, selecting, waiting (F1 to F22, F54 to F60).
