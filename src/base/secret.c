/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets in their own locked pages, wiped before they are given back.
 */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void pn_wipe(void *ptr, size_t len)
{
    if (ptr && len > 0)
        OPENSSL_cleanse(ptr, len);
}

void pn_wipe_free_str(char *text)
{
    if (!text)
        return;
    pn_wipe(text, strlen(text));
    free(text);
}

bool pn_equal_constant_time(struct pn_slice a, struct pn_slice b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

enum pn_rc pn_secret_init(struct pn_secret *secret, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped;
    void *ptr;

    *secret = (struct pn_secret){0};
    if (len == 0)
        return PN_OK;
    if (len > SIZE_MAX - page)
        return PN_NOMEM;
    mapped = (len + page - 1) / page * page;
    ptr = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED)
        return PN_NOMEM;
    /* Both are best effort: without the right to lock, the pages are still wiped and not dumped. */
    (void)mlock(ptr, mapped);
    (void)madvise(ptr, mapped, MADV_DONTDUMP);
    *secret = (struct pn_secret){ptr, len, mapped};
    return PN_OK;
}

enum pn_rc pn_secret_from(struct pn_secret *secret, const void *bytes, size_t len)
{
    enum pn_rc rc = pn_secret_init(secret, len);

    if (rc == PN_OK && len > 0)
        memcpy(secret->ptr, bytes, len);
    return rc;
}

void pn_secret_fini(struct pn_secret *secret)
{
    if (secret->ptr) {
        pn_wipe(secret->ptr, secret->mapped);
        munmap(secret->ptr, secret->mapped);
    }
    *secret = (struct pn_secret){0};
}

struct pn_slice pn_secret_slice(const struct pn_secret *secret)
{
    return pn_slice(secret->ptr, secret->len);
}

bool pn_secret_take_env(const char *name, char *out, size_t size)
{
    char *value = getenv(name);
    size_t len = value ? strlen(value) : 0;
    bool is_taken = value && len < size;

    out[0] = '\0';
    if (is_taken)
        memcpy(out, value, len + 1);
    if (value)
        pn_wipe(value, len);
    (void)unsetenv(name);
    return is_taken;
}
