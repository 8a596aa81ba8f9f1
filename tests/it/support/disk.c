/* A disk that fails on purpose, and a clock that jumps: loaded into the daemon with LD_PRELOAD by the tests, never part of
 * the program. It counts what the process does to files below one folder and, at the n-th time, kills the process, cuts its
 * power or lets the call fail. Everything comes from the environment:
 *
 *   DISK_DIR    the folder (absolute); other files are left alone
 *   DISK_KINDS  which calls are counted, of: write sync rename unlink
 *   DISK_AT     the first call that is hit, from 1
 *   DISK_COUNT  how many calls are hit from then on (0: all)
 *   DISK_DO     kill-before, kill-after, power-cut, or an errno by number
 *   DISK_TRACE  a file that gets a line for each counted call: number, kind, file
 *   DISK_LIVE   a file of three numbers of 8 bytes, looked at each time: milliseconds by which the time of day is off, the
 *               errno that every counted call gives (0: none), and whether no thread can be made
 *
 * A power cut takes back what was not synced: bytes written to a file since its last fsync, and renames in a folder since
 * that folder's. Then the process is killed. Files and folders are taken to be small in number. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILES 4096

/* What would be lost: bytes that stood at `offset` before they were written over, or a rename. Newest first. */
struct undo {
    struct undo *next;
    char *path;  /* the file, or the new name */
    char *from;  /* the old name, for a rename */
    char *also;  /* the name that the file had when it was written */
    off_t offset, size; /* size: of the file before the write */
    size_t length;
    char *bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *names[FILES];
static struct undo *undos;
static const char *dir, *kinds, *action;
static unsigned long at, count, seen;
static int trace = -1;
static volatile int64_t *live;

__attribute__((constructor)) static void begin(void) {
    dir = getenv("DISK_DIR");
    kinds = getenv("DISK_KINDS") ? getenv("DISK_KINDS") : "write sync rename unlink";
    action = getenv("DISK_DO") ? getenv("DISK_DO") : "";
    at = getenv("DISK_AT") ? strtoul(getenv("DISK_AT"), NULL, 10) : 0;
    count = getenv("DISK_COUNT") ? strtoul(getenv("DISK_COUNT"), NULL, 10) : 1;
    if (getenv("DISK_TRACE"))
        trace = syscall(SYS_openat, AT_FDCWD, getenv("DISK_TRACE"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (getenv("DISK_LIVE")) {
        int fd = syscall(SYS_openat, AT_FDCWD, getenv("DISK_LIVE"), O_RDONLY | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 3 * sizeof *live, PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) live = map;
        if (fd >= 0) syscall(SYS_close, fd);
    }
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int ours(const char *path) {
    return dir && path && !strncmp(path, dir, strlen(dir)) && !strstr(path, "-shm");
}

static const char *name_of(int fd) { return fd >= 0 && fd < FILES ? names[fd] : NULL; }

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Everything that was not synced is taken back, newest first. */
static void power_cut(void) {
    for (struct undo *u = undos; u; u = u->next) {
        if (u->from) {
            syscall(SYS_renameat2, AT_FDCWD, u->path, AT_FDCWD, u->from, 0);
            continue;
        }
        int fd = syscall(SYS_openat, AT_FDCWD, u->path, O_WRONLY | O_CLOEXEC);
        /* Its renaming was taken back already. */
        if (fd < 0 && u->also) fd = syscall(SYS_openat, AT_FDCWD, u->also, O_WRONLY | O_CLOEXEC);
        if (fd < 0) continue;
        if (u->length) syscall(SYS_pwrite64, fd, u->bytes, u->length, u->offset);
        syscall(SYS_ftruncate, fd, u->size);
        syscall(SYS_close, fd);
    }
}

static void remember(const char *path, const char *from, int fd, off_t offset, size_t length) {
    if (strcmp(action, "power-cut")) return;
    struct undo *u = calloc(1, sizeof *u);
    u->path = strdup(path);
    u->from = from ? strdup(from) : NULL;
    if (!from) {
        struct stat st;
        syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH);
        int old = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        u->size = st.st_size;
        u->offset = offset;
        u->bytes = malloc(length + 1);
        ssize_t got = old < 0 ? 0 : syscall(SYS_pread64, old, u->bytes, length, offset);
        u->length = got > 0 ? (size_t)got : 0;
        if (old >= 0) syscall(SYS_close, old);
    }
    u->next = undos;
    undos = u;
}

/* `path` is synced: its bytes, or the renames in it, cannot be lost any more. */
static void forget(const char *path) {
    for (struct undo **p = &undos; *p;) {
        struct undo *u = *p;
        size_t parent = strrchr(u->path, '/') - u->path;
        int covered = u->from ? strlen(path) == parent && !strncmp(path, u->path, parent) : !strcmp(path, u->path) || (u->also && !strcmp(path, u->also));
        if (covered) {
            *p = u->next;
            free(u->path), free(u->from), free(u->also), free(u->bytes), free(u);
        } else {
            p = &u->next;
        }
    }
}

/* A file has another name now; what would be lost of it is lost under that. */
static void renamed(const char *from, const char *to) {
    for (struct undo *u = undos; u; u = u->next) {
        if (u->from || strcmp(u->path, from)) continue;
        if (!u->also) u->also = strdup(from);
        free(u->path);
        u->path = strdup(to);
    }
    remember(to, from, -1, 0, 0);
}

/* Counts a call. 0: go on; -1: kill when it is done; else an errno. The lock is held until `leave`. */
static int enter(const char *kind, const char *path) {
    pthread_mutex_lock(&lock);
    if (!strstr(kinds, kind)) return 0;
    unsigned long n = ++seen;
    if (trace >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%lu %s %s\n", n, kind, path + strlen(dir));
        syscall(SYS_write, trace, line, length);
    }
    if (live && live[1]) return live[1];
    if (!at || n < at || (count && n >= at + count)) return 0;
    if (!strcmp(action, "kill-before")) die();
    if (!strcmp(action, "kill-after")) return -1;
    if (!strcmp(action, "power-cut")) power_cut(), die();
    return atoi(action);
}

static void leave(int verdict) {
    if (verdict < 0) die();
    pthread_mutex_unlock(&lock);
}

static void note(int fd, const char *path) {
    if (fd < 0 || fd >= FILES) return;
    /* Never freed: another thread may be reading it. */
    names[fd] = ours(path) ? strdup(path) : NULL;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        int fd = real(path, flags, mode); \
        note(fd, path); \
        return fd; \
    }
#define OPENAT(name) \
    int name(int at_fd, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        int fd = real(at_fd, path, flags, mode); \
        note(fd, path); \
        return fd; \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(int, close, int);
    note(fd, NULL);
    return real(fd);
}

/* Runs `call` for a file of ours as a counted call, and for any other as it is. */
#define COUNTED(kind, path, before, call, done, result) \
    if (!(path)) return call; \
    int verdict = enter(kind, path); \
    result = -1; \
    if (verdict > 0) { \
        errno = verdict; \
    } else { \
        before; \
        result = call; \
        if (result >= 0) { done; } \
    } \
    int kept = errno; \
    leave(verdict); \
    errno = kept; \
    return result

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    const char *path = name_of(fd);
    ssize_t result;
    COUNTED("write", path, remember(path, NULL, fd, lseek(fd, 0, SEEK_CUR), length), real(fd, bytes, length), , result);
}

#define PWRITE(name, offset_t) \
    ssize_t name(int fd, const void *bytes, size_t length, offset_t offset) { \
        REAL(ssize_t, name, int, const void *, size_t, offset_t); \
        const char *path = name_of(fd); \
        ssize_t result; \
        COUNTED("write", path, remember(path, NULL, fd, offset, length), real(fd, bytes, length, offset), , result); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_t) \
    int name(int fd, offset_t size) { \
        REAL(int, name, int, offset_t); \
        const char *path = name_of(fd); \
        int result; \
        COUNTED("write", path, remember(path, NULL, fd, size, 1 << 20), real(fd, size), , result); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
    int name(int fd) { \
        REAL(int, name, int); \
        const char *path = name_of(fd); \
        int result; \
        COUNTED("sync", path, , real(fd), forget(path), result); \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    const char *path = ours(from) ? from : NULL;
    int result;
    COUNTED("rename", path, , real(from, to), renamed(from, to), result);
}

int unlink(const char *name) {
    REAL(int, unlink, const char *);
    const char *path = ours(name) ? name : NULL;
    int result;
    COUNTED("unlink", path, , real(name), , result);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *with) {
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return live && live[2] ? EAGAIN : real(thread, attr, start, with);
}

int clock_gettime(clockid_t which, struct timespec *time) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(which, time);
    if (!result && which == CLOCK_REALTIME && live) time->tv_sec += live[0] / 1000;
    return result;
}
