/* A disk that fails from the 20th to the 24th sync of a process on: to be preloaded. See tests/tests/disk_trouble.rs. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int syncs;

int fdatasync(int file);

int fdatasync(int file)
{
    int number = atomic_fetch_add(&syncs, 1) + 1;
    if (number >= 20 && number < 25) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, file);
}
