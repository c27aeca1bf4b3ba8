/* Writing rows of a block to their places in a file, in one call: between calls from Python the
 * thread that writes would wait for the thread that computes. */
#include <errno.h>
#include <unistd.h>

/* Row r of num_rows goes to byte position + r * stride of an open file. 0, or the error number. */
EXPORT int write_rows(int descriptor, const char *rows, long num_rows, long row_bytes,
                      long long position, long long stride)
{
    for (long r = 0; r < num_rows; r++, rows += row_bytes, position += stride)
        for (long done = 0; done < row_bytes;) {
            const ssize_t count = pwrite(descriptor, rows + done, row_bytes - done, position + done);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return count ? errno : ENOSPC;
            done += count;
        }
    return 0;
}
