/* SPDX-License-Identifier: Apache-2.0
 *
 * The listening sockets that a child inherits: PN_LISTEN_FDS="gateway=5,gateway=6,vault=7", and
 * those of them that want a PROXY header: PN_LISTEN_PROXY="6=127.0.0.0/8 ::1,8=10.0.0.0/8".
 */
#include <stdlib.h>

#include "ipc/broker.h"
#include "ipc/protocol.h"

int pn_listen_fd(const char *name, size_t index)
{
    struct pn_slice rest = pn_slice_str(getenv(PN_LISTEN_ENV));
    struct pn_slice entry;

    while (pn_slice_cut(&rest, ',', &entry)) {
        size_t equals = pn_slice_find(entry, '=');
        uint64_t fd;

        if (!pn_slice_eq_str(pn_slice_sub(entry, 0, equals), name))
            continue;
        if (!pn_slice_to_u64(pn_slice_sub(entry, equals + 1, entry.len), 65535, &fd))
            continue;
        if (index == 0)
            return (int)fd;
        index--;
    }
    return -1;
}

bool pn_listen_wants_proxy(int fd, struct pn_slice *trusted)
{
    struct pn_slice rest = pn_slice_str(getenv(PN_LISTEN_PROXY_ENV));
    struct pn_slice entry;

    while (pn_slice_cut(&rest, ',', &entry)) {
        size_t equals = pn_slice_find(entry, '=');
        uint64_t number;

        if (!pn_slice_to_u64(pn_slice_sub(entry, 0, equals), 65535, &number) || (int)number != fd)
            continue;
        *trusted = pn_slice_sub(entry, equals + 1, entry.len);
        return true;
    }
    return false;
}
