/* SPDX-License-Identifier: Apache-2.0
 *
 * The key derivation of TLS 1.3, with an ear at it: the default provider's functions, and whoever
 * watches this thread hears what was derived. OpenSSL's callback for key logs tells the same, but
 * prints each byte for it: a tenth of a resumed handshake.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "signer/signer.h"
#include "signer/signer_internal.h"

#define FUNCTIONS_MAX 24

typedef void (*dispatch_fn)(void);

static OSSL_FUNC_kdf_derive_fn *derive; /* the default provider's */
static OSSL_DISPATCH functions[FUNCTIONS_MAX + 1];

static _Thread_local struct {
    pn_secret_fn on_secret;
    void *ctx;
} watcher;

void pn_signer_watch_secrets(pn_secret_fn on_secret, void *ctx)
{
    watcher.on_secret = on_secret;
    watcher.ctx = ctx;
}

static int watched_derive(void *ctx, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
    int is_fine = derive(ctx, out, len, params);
    const OSSL_PARAM *label;

    if (is_fine != 1 || !watcher.on_secret)
        return is_fine;
    label = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_LABEL);
    if (label && label->data_type == OSSL_PARAM_OCTET_STRING)
        watcher.on_secret(watcher.ctx, pn_slice(label->data, label->data_size), pn_slice(out, len));
    return is_fine;
}

const OSSL_DISPATCH *pn_signer_watched_kdf(const OSSL_DISPATCH *original)
{
    size_t count = 0;

    for (; original[count].function_id != 0; count++) {
        if (count == FUNCTIONS_MAX)
            return original;
        functions[count] = original[count];
        if (original[count].function_id == OSSL_FUNC_KDF_DERIVE) {
            derive = OSSL_FUNC_kdf_derive(&original[count]);
            functions[count].function = (dispatch_fn)watched_derive;
        }
    }
    return functions;
}
