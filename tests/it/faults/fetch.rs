//! What a server sends when it is asked for mails: F27 to F53.
