//! The names of all log events. They are public API: changed only in a major version, listed in `docs/operations.md`
//! (a test compares the two).

/// Makes the constants and the list of them.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub const $name: &str = $text;)+
        /// Every event, in the order of `docs/operations.md`.
        pub const ALL: &[&str] = &[$($text),+];
    };
}

events! {
    /// The daemon is ready.
    SERVICE_STARTED = "service.started";
    /// The daemon stops taking new work.
    SERVICE_STOPPING = "service.stopping";
    /// The daemon has stopped.
    SERVICE_STOPPED = "service.stopped";
    /// The configuration was read.
    CONFIG_LOADED = "config.loaded";
    /// The configuration is in order and has a weak spot.
    CONFIG_WARNING = "config.warning";
    /// A changed configuration is in force.
    CONFIG_RELOADED = "config.reloaded";
    /// A changed configuration was refused; the old one stays in force.
    CONFIG_RELOAD_REFUSED = "config.reload_refused";
    /// A secret could not be read.
    SECRET_UNREADABLE = "secret.unreadable";
    /// A secret stands in the configuration itself.
    SECRET_EXPOSED = "secret.exposed";
    /// A mailbox changed its state.
    MAILBOX_STATE = "mailbox.state";
    /// A session with the mail server stands.
    MAILBOX_CONNECTED = "mailbox.connected";
    /// No session with the mail server.
    MAILBOX_CONNECT_FAILED = "mailbox.connect_failed";
    /// The mail server refused the sign-in.
    MAILBOX_AUTH_DENIED = "mailbox.auth_denied";
    /// A folder was searched.
    MAILBOX_POLL = "mailbox.poll";
    /// More old mails wait than `start_limit` allows to take without being asked.
    MAILBOX_START_WAITING = "mailbox.start_waiting";
    /// The folder's UIDVALIDITY is another one.
    MAILBOX_UIDVALIDITY_CHANGED = "mailbox.uidvalidity_changed";
    /// A mail was gone before it was fetched.
    MAILBOX_GONE = "mailbox.gone";
    /// The mail server wants to be asked for less.
    MAILBOX_THROTTLED = "mailbox.throttled";
    /// The mail server broke the protocol.
    MAILBOX_PROTOCOL_VIOLATION = "mailbox.protocol_violation";
    /// A mail was flagged, moved or deleted on the server, or that could not be done.
    MAILBOX_DISPOSITION = "mailbox.disposition";
    /// A mail is durable here.
    MESSAGE_STORED = "message.stored";
    /// A mail was parsed.
    MESSAGE_PARSED = "message.parsed";
    /// Parse workers run without their system call filter.
    PARSER_UNFENCED = "parser.unfenced";
    /// A limit was met.
    MESSAGE_LIMIT = "message.limit";
    /// One call of the API ended.
    API_ATTEMPT = "api.attempt";
    /// A mail was put off.
    QUEUE_DEFERRED = "queue.deferred";
    /// A mail waits for longer than `warn_after`.
    QUEUE_DELAYED = "queue.delayed";
    /// A request was sent and no answer came.
    QUEUE_UNKNOWN_OUTCOME = "queue.unknown_outcome";
    /// A mail waits for a person.
    MESSAGE_HELD = "message.held";
    /// A mail has reached its end state.
    MESSAGE_DONE = "message.done";
    /// The circuit breaker of a tenant changed its state.
    API_BREAKER = "api.breaker";
    /// The store has little room left; intake stops.
    STORE_LOW_SPACE = "store.low_space";
    /// The store failed.
    STORE_ERROR = "store.error";
    /// The store was brought to a newer version.
    STORE_MIGRATED = "store.migrated";
    /// A mail killed a parse worker, or was in flight when the daemon died.
    CRASH_STRIKE = "crash.strike";
    /// A mail was in flight in too many crashes and is parked unread.
    CRASH_PARKED = "crash.parked";
    /// Somebody acted on the queue.
    ADMIN_ACTION = "admin.action";
    /// Log lines could not be written in time.
    LOG_LOST = "log.lost";
    /// A task panicked and was started again.
    TASK_PANICKED = "task.panicked";
}
