/* For LD_PRELOAD: the k-th write, fsync or rename within a folder fails, or the process ends there as by a power cut.
 *
 * Armed by its functions, which a test calls through ctypes. What is flushed is copied to a journal, so that afterwards
 * the state can be made that a disk has which keeps what was flushed and nothing else.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE = 1, FSYNC = 2, RENAME = 4 };
static char root[PATH_MAX], journal[PATH_MAX];
static long at, times, seen, flushed;
static int kinds, error_number;
static __thread int within;

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void begin(void) {
    real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
}

/* Calls of `which` kinds within `folder` fail from the `first`-th on, `count` of them; number 0: the process ends. */
void fault_arm(const char *folder, int which, long first, long count, int number, const char *shadow) {
    snprintf(root, sizeof root, "%s", folder);
    snprintf(journal, sizeof journal, "%s", shadow);
    kinds = which, at = first, times = count, error_number = number, seen = 0, flushed = 0;
}

long fault_seen(void) { return seen; }

static int is_inside(const char *path) {
    size_t n = strlen(root);
    return n && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0 && is_inside(path);
}

static int fails(int kind) {
    if (!(kinds & kind)) return 0;
    seen++;
    if (seen < at || seen >= at + times) return 0;
    if (error_number == 0) _exit(137);
    errno = error_number;
    return 1;
}

ssize_t write(int fd, const void *data, size_t n) {
    char path[PATH_MAX];
    if (root[0] && !within && path_of(fd, path) && fails(WRITE)) {
        if (error_number == ENOSPC && seen == at && n > 1) return real_write(fd, data, n / 2);
        errno = error_number;
        return -1;
    }
    return real_write(fd, data, n);
}

static void keep(int fd) {
    char name[PATH_MAX + 64], block[1 << 16];
    struct stat facts;
    if (fstat(fd, &facts)) return;
    snprintf(name, sizeof name, "%s/%ld-%lu", journal, ++flushed, (unsigned long)facts.st_ino);
    FILE *out = fopen(name, "w");
    if (!out) return;
    if (S_ISDIR(facts.st_mode)) {
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY);
        DIR *entries = again < 0 ? NULL : fdopendir(again);
        struct dirent *one;
        fputs("entries\n", out);
        while (entries && (one = readdir(entries)))
            if (strcmp(one->d_name, ".") && strcmp(one->d_name, ".."))
                fprintf(out, "%lu %d %s\n", (unsigned long)one->d_ino, one->d_type == DT_DIR, one->d_name);
        if (entries) closedir(entries);
    } else {
        fputs("content\n", out);
        off_t place = 0;
        ssize_t n;
        while ((n = pread(fd, block, sizeof block, place)) > 0) fwrite(block, 1, n, out), place += n;
    }
    fclose(out);
}

int fsync(int fd) {
    char path[PATH_MAX];
    if (root[0] && path_of(fd, path)) {
        if (fails(FSYNC)) return -1;
        if (journal[0]) {
            within = 1;
            keep(fd);
            within = 0;
        }
        return 0; /* the tests are no load for disks */
    }
    return real_fsync(fd);
}

int rename(const char *from, const char *to) {
    if (root[0] && is_inside(to) && fails(RENAME)) return -1;
    return real_rename(from, to);
}
