#!/usr/bin/env python3
"""Kills a mailbridge at random moments of drains, with at least one request in flight, starts it again each time, and counts
at the API what came: lost, twice, stuck. Says what the process was doing when it died.

Needs an IMAP server on loopback whose mailbox is a Maildir that this script may replace, a Maildir of mails that each carry
an `X-Bench-Id: benchid-...`, and the load bench's HTTP sink (control lines on its port + 1: `stats`, `log`, `mode`, `reset`).

    kill.py --mailbridge target/release/mailbridge --sink bin/sink --corpus snap/small2000x1/u0 --maildir spool/u0 \\
            --user u0 --imap-port 22143 --work DIR --kills 300 [--no-search]

With --no-search the API cannot be asked: then exactly the mails whose post was begun and not answered must be held. Each is
let go by one command: dropped where the API has it, released where it has not. Exit code 1 when anything is not as it must be.
"""
import argparse, collections, glob, json, os, random, re, shutil, signal, socket, sqlite3, struct, subprocess, sys
import tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
# A mail goes through these; the others happen at a start or an end.
ON_THE_WAY = ["mail accepted", "mail claimed", "attempt recorded", "outcome recorded", "action recorded"]
CALLS = {0: "read", 1: "write", 18: "write", 74: "sync", 75: "sync", 202: "wait", 232: "wait", 281: "wait", 7: "wait"}


class Sink:
    """The API: counts what is posted."""

    def __init__(self, binary, port):
        self.process = subprocess.Popen([binary, str(port)])
        for _ in range(100):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port + 1), 60)
                break
            except OSError:
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")

    def ask(self, line):
        self.file.write(line + "\n")
        self.file.flush()
        return self.file.readline().strip()

    def stats(self):
        return json.loads(self.ask("stats"))

    def bench_ids(self):
        """The bench ids of all accepted posts."""
        self.file.write("log\n")
        self.file.flush()
        found = []
        for line in self.file:
            if line == ".\n":
                return found
            words = line.rstrip("\n").split(" ", 4)
            if words[1] == "200":
                found.append(words[3])


# ---------------------------------------------------------------- what the process was doing

def transactions(log):
    """Where the whole transactions in a log of changes end (sqlite.org/fileformat2.html#walformat), and whether more was
    being written."""
    if len(log) < 32:
        return [], False
    frame, salts, ends, at = 24 + struct.unpack(">I", log[8:12])[0], log[16:24], [], 32
    while at + frame <= len(log) and log[at + 8:at + 16] == salts:
        if log[at + 4:at + 8] != b"\0\0\0\0":
            ends.append(at + frame)
        at += frame
    return ends, bool(ends) and at > ends[-1] or not ends and at > 32


def picture(store, log):
    """The rows of the store as they were when its log of changes was this long."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(store)) as folder:
        name = os.path.join(folder, "mailbridge.db")
        shutil.copyfile(os.path.join(store, "mailbridge.db"), name)
        with open(name + "-wal", "wb") as file:
            file.write(log)
        base = sqlite3.connect(name)
        try:
            rows = base.execute("SELECT id, state, writing, copied, disposed_at IS NOT NULL, raw_size IS NOT NULL FROM mail")
            return {row[0]: row[1:] for row in rows}, base.execute("SELECT folder, uidvalidity, first_new FROM folder").fetchall()
        except sqlite3.OperationalError:
            return None, None
        finally:
            base.close()


def steps(before, after):
    """The durable steps between two pictures, by the names of docs/faults.md."""
    (old, folders), (new, new_folders) = before, after
    if old is None:
        return {"tables made"} if new is not None else {"store begun"}
    found = {"folder recorded"} if folders != new_folders else set()
    # Only a start takes back every claim.
    put_back = "outcome recorded" if any(row[0] == "delivering" for row in new.values()) else "claims taken back"
    for qid, (state, writing, copied, disposed, raw) in new.items():
        if qid not in old:
            found.add("mail accepted")
            continue
        was, wrote, copied_before, disposed_before, had_raw = old[qid]
        over = ("delivered", "failed", "discarded")
        found |= {name for name, true in (
            ("mail claimed", state == "delivering" != was),
            ("attempt recorded", writing and not wrote),
            ("outcome recorded", state in over and was not in over),
            (put_back, was == "delivering" and state in ("queued", "deferred", "held")),
            ("copy recorded", copied and not copied_before),
            ("action recorded", disposed and not disposed_before),
            ("raw mail let go", had_raw and not raw)) if true}
    return found


class Moment:
    """What a stopped process was doing."""

    def __init__(self, pid, store):
        with open(os.path.join(store, "mailbridge.db-wal"), "rb") as file:
            log = file.read()
        ends, open_end = transactions(log)
        self.now = picture(store, log[:ends[-1]] if ends else b"")
        self.done = steps(picture(store, log[:ends[-2]] if len(ends) > 1 else b""), self.now)
        self.begun = {qid for qid, row in (self.now[0] or {}).items() if row[1]}
        self.under_way = set()
        if open_end:
            self.under_way.add("a transaction is being written")
        if glob.glob(os.path.join(store, "spool", "*.part")):
            self.under_way.add("a spool file is being written")
        for task in glob.glob("/proc/%d/task/*" % pid):
            try:
                name, call = open(task + "/comm").read().strip(), open(task + "/syscall").read().split()[0]
            except OSError:
                continue
            if name == "store-writer":
                doing = "computing" if call in ("running", "-1") else CALLS.get(int(call), "call %s" % call)
                self.under_way.add("the store's writer: " + doing)


# ---------------------------------------------------------------- the daemon

class Daemon:
    def __init__(self, a, folder):
        self.a, self.folder = a, folder
        self.store = os.path.join(folder, "state", "store")
        self.start()

    def start(self):
        command = [os.path.join(HERE, "run-bridge"), self.a.user, str(self.a.imap_port),
                   "http://127.0.0.1:%d/api/v1/TicketMessage" % self.a.port, self.folder]
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env=dict(os.environ, MAILBRIDGE=self.a.mailbridge), start_new_session=True)

    def kill_in_flight(self):
        """Stops it, looks, and kills it if a request is in flight. None if none was: it goes on."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        moment = Moment(pid, self.store) if os.path.exists(self.store + "/mailbridge.db-wal") else None
        if moment is None or not moment.begun:
            os.kill(pid, signal.SIGCONT)
            return None
        self.kill()
        return moment

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def say(self, *arguments):
        done = subprocess.run([self.a.mailbridge, *arguments, "-c", os.path.join(self.folder, "config.toml")],
                              capture_output=True, text=True)
        return done.returncode, done.stdout

    def rows(self):
        return [json.loads(line) for line in self.say("queue", "list", "--json")[1].splitlines()]


# ---------------------------------------------------------------- a drain

def refill(a):
    shutil.rmtree(a.maildir, ignore_errors=True)
    shutil.copytree(a.corpus, a.maildir)
    subprocess.run(["chown", "-R", "%d:%d" % (a.uid, a.uid), a.maildir], check=True)
    return len(os.listdir(os.path.join(a.maildir, "new")))


def bench_id(store, qid):
    """What tells the mail from all others, from its stored bytes."""
    base = sqlite3.connect("file:%s/mailbridge.db?mode=ro" % store, uri=True)
    try:
        found = base.execute("SELECT bytes, file FROM raw JOIN mail USING (seq) WHERE id = ?", (qid,)).fetchone()
    finally:
        base.close()
    raw = found[0] if found[0] is not None else open(os.path.join(store, "spool", found[1]), "rb").read()
    return re.search(rb"benchid-([A-Za-z0-9-]+)", raw).group(1).decode()


def let_go(daemon, sink, held):
    """Does to each held mail what the handbook says: drop it where the API has it, else release it."""
    known, released = set(sink.bench_ids()), 0
    for row in held:
        there = bench_id(daemon.store, row["qid"]) in known
        verb = ["drop", "--yes"] if there else ["release"]
        code, _ = daemon.say("queue", *verb, row["qid"])
        if code != 0:
            print("queue", verb[0], row["qid"], "failed:", code)
        released += not there
    return released


def settle(daemon, sink, wanted, search, seconds=60):
    """Waits until everything is posted and nothing waits, or nothing changes any more. The rows that are left."""
    quiet, last = time.time(), None
    while time.time() - quiet < seconds:
        rows = daemon.rows() if sink.stats()["unique"] >= wanted or not search else [None]
        moving = [row for row in rows if row is None or row["state"] != "held"]
        now = (sink.stats()["ok"], len(rows))
        if rows != [None] and not moving and (search or sink.stats()["unique"] + len(rows) >= wanted):
            return rows
        if now != last:
            last, quiet = now, time.time()
        time.sleep(0.2)
    return daemon.rows()


def drain(a, sink, kills, dice, total):
    folder = tempfile.mkdtemp(prefix="drain-", dir=a.work)
    mails = refill(a)
    sink.ask("reset")
    daemon, begun, done, stalled = Daemon(a, folder), set(), 0, time.time()
    targets = sorted(dice.uniform(0, 0.97) for _ in range(kills))
    while done < kills and time.time() - stalled < 60:
        if sink.stats()["unique"] < mails * targets[done]:
            time.sleep(0.002)
            continue
        time.sleep(dice.uniform(0, 0.03))
        moment = daemon.kill_in_flight()
        if moment is None:
            if sink.stats()["unique"] >= mails:
                break
            continue
        done, stalled = done + 1, time.time()
        begun |= moment.begun
        total["in flight"] += len(moment.begun)
        for step in moment.done or {"nothing yet"}:
            total["done: " + step] += 1
        for what in moment.under_way:
            total["under way: " + what] += 1
        daemon.start()
    rows = settle(daemon, sink, mails, not a.no_search)
    held = [row for row in rows if row["state"] == "held"]
    wrong = {row["qid"] for row in held} ^ begun if a.no_search else {row["qid"] for row in held}
    released = let_go(daemon, sink, held)
    rows = settle(daemon, sink, mails, True)
    stats = sink.stats()
    result = {"kills": done, "mails": mails, "lost": mails - stats["unique"], "dup": stats["dup"], "stuck": len(rows),
              "held": len(held), "held_wrongly": len(wrong), "released": released, "looked_up": stats["searches"]}
    for key, value in result.items():
        total[key] += value
    print(json.dumps(result), flush=True)
    daemon.kill()
    if not (result["lost"] or result["dup"] or result["stuck"] or wrong):
        shutil.rmtree(folder)
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("mailbridge", "sink", "corpus", "maildir", "work"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--user", default="u0")
    parser.add_argument("--uid", type=int, help="owner of the Maildir (default: as it is in the corpus)")
    parser.add_argument("--imap-port", type=int, required=True)
    parser.add_argument("--port", type=int, default=22700, help="the sink's; its control port is the next one")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--per-drain", type=int, default=10)
    parser.add_argument("--latency", type=int, default=20, help="of the API, in ms")
    parser.add_argument("--no-search", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    a.uid = os.stat(a.corpus).st_uid if a.uid is None else a.uid
    os.makedirs(a.work, exist_ok=True)
    dice, total = random.Random(a.seed), collections.Counter()
    sink = Sink(a.sink, a.port)
    try:
        sink.ask("mode latency_ms=%d lost=0 search=%d" % (a.latency, not a.no_search))
        left = a.kills
        while left > 0:
            left -= drain(a, sink, min(left, a.per_drain), dice, total)
    finally:
        sink.process.terminate()
    for what, times in sorted(total.items()):
        print("%8d  %s" % (times, what))
    rare = [step for step in ON_THE_WAY if total["done: " + step] < 5]
    if rare:
        print("rarely or never:", ", ".join(rare))
    sys.exit(1 if total["lost"] or total["dup"] or total["stuck"] or total["held_wrongly"] else 0)


if __name__ == "__main__":
    main()
