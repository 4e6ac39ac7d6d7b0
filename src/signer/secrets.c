/* SPDX-License-Identifier: Apache-2.0
 *
 * The key derivation of TLS 1.3 as OpenSSL asks for it: "TLS13-KDF", made by signer/hkdf.h, with
 * the default provider's for whatever else may be asked of it; and an ear at it, so that whoever
 * watches this thread hears what was derived. OpenSSL's callback for key logs tells the same, but
 * prints each byte for it: a tenth of a resumed handshake.
 */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "signer/hkdf.h"
#include "signer/signer.h"
#include "signer/signer_internal.h"

typedef void (*dispatch_fn)(void);

/* The default provider's. */
static struct {
    OSSL_FUNC_kdf_newctx_fn *newctx;
    OSSL_FUNC_kdf_freectx_fn *freectx;
    OSSL_FUNC_kdf_reset_fn *reset;
    OSSL_FUNC_kdf_derive_fn *derive;
    OSSL_FUNC_kdf_settable_ctx_params_fn *settable;
    OSSL_FUNC_kdf_set_ctx_params_fn *set;
    OSSL_FUNC_kdf_gettable_ctx_params_fn *gettable;
    OSSL_FUNC_kdf_get_ctx_params_fn *get;
} theirs;

static _Thread_local struct {
    pn_secret_fn on_secret;
    void *ctx;
} watcher;

void pn_signer_watch_secrets(pn_secret_fn on_secret, void *ctx)
{
    watcher.on_secret = on_secret;
    watcher.ctx = ctx;
}

/* `fallback` NULL: nothing was asked that this file does not do itself. */
struct derivation {
    void *provctx;
    void *fallback;
};

static void *derivation_new(void *provctx)
{
    struct derivation *derivation = calloc(1, sizeof(*derivation));

    if (derivation)
        derivation->provctx = provctx;
    return derivation;
}

static void derivation_free(void *ctx)
{
    struct derivation *derivation = ctx;

    if (derivation && derivation->fallback)
        theirs.freectx(derivation->fallback);
    free(derivation);
}

static void *fallback_of(struct derivation *derivation)
{
    if (!derivation->fallback)
        derivation->fallback = theirs.newctx(derivation->provctx);
    return derivation->fallback;
}

static void derivation_reset(void *ctx)
{
    struct derivation *derivation = ctx;

    if (derivation->fallback)
        theirs.reset(derivation->fallback);
}

static int derivation_set(void *ctx, const OSSL_PARAM params[])
{
    if (!params || !params->key)
        return 1;
    return fallback_of(ctx) ? theirs.set(fallback_of(ctx), params) : 0;
}

static int derivation_get(void *ctx, OSSL_PARAM params[])
{
    return fallback_of(ctx) ? theirs.get(fallback_of(ctx), params) : 0;
}

static const OSSL_PARAM *derivation_settable(void *ctx, void *provctx)
{
    const struct derivation *derivation = ctx;
    const OSSL_PARAM *names = theirs.settable(derivation ? derivation->fallback : NULL, provctx);

    return names;
}

static const OSSL_PARAM *derivation_gettable(void *ctx, void *provctx)
{
    const struct derivation *derivation = ctx;
    const OSSL_PARAM *names = theirs.gettable(derivation ? derivation->fallback : NULL, provctx);

    return names;
}

/* ---- what is asked for */

struct question {
    int mode;
    enum pn_hkdf_hash hash;
    struct pn_slice key, salt, prefix, label, data;
};

/* In one walk, and only what TLS asks: one more parameter, and it is not ours to answer. */
static bool read_question(const OSSL_PARAM params[], struct question *question)
{
    bool has_mode = false, has_hash = false;

    for (const OSSL_PARAM *at = params; at && at->key; at++) {
        struct pn_slice bytes = pn_slice(at->data, at->data_size);

        if (strcmp(at->key, OSSL_KDF_PARAM_MODE) == 0)
            has_mode = OSSL_PARAM_get_int(at, &question->mode) == 1;
        else if (strcmp(at->key, OSSL_KDF_PARAM_DIGEST) == 0)
            has_hash = at->data_type == OSSL_PARAM_UTF8_STRING &&
                       pn_hkdf_find(at->data, &question->hash) == PN_OK;
        else if (at->data_type != OSSL_PARAM_OCTET_STRING)
            return false;
        else if (strcmp(at->key, OSSL_KDF_PARAM_KEY) == 0)
            question->key = bytes;
        else if (strcmp(at->key, OSSL_KDF_PARAM_SALT) == 0)
            question->salt = bytes;
        else if (strcmp(at->key, OSSL_KDF_PARAM_PREFIX) == 0)
            question->prefix = bytes;
        else if (strcmp(at->key, OSSL_KDF_PARAM_LABEL) == 0)
            question->label = bytes;
        else if (strcmp(at->key, OSSL_KDF_PARAM_DATA) == 0)
            question->data = bytes;
        else
            return false;
    }
    return has_mode && has_hash && question->prefix.len > 0 && question->label.len > 0;
}

static bool is_secret_or_none(const struct question *question, struct pn_slice bytes)
{
    return bytes.len == 0 || bytes.len == pn_hkdf_len(question->hash);
}

/* PN_UNSUPPORTED: the default provider shall say what it thinks of it. */
static enum pn_rc answer(const struct question *question, unsigned char *out, size_t len)
{
    enum pn_rc rc = PN_UNSUPPORTED;

    if (question->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && question->salt.len == 0 &&
        question->key.len == pn_hkdf_len(question->hash))
        rc = pn_hkdf_expand_label(question->hash, question->key, question->prefix, question->label,
                                  question->data, out, len);
    else if (question->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY && question->data.len == 0 &&
             len == pn_hkdf_len(question->hash) && is_secret_or_none(question, question->salt))
        rc = pn_hkdf_next_secret(question->hash, question->salt, question->prefix, question->label,
                                 question->key, out);
    return rc == PN_LIMIT ? PN_UNSUPPORTED : rc;
}

static int derivation_derive(void *ctx, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
    struct derivation *derivation = ctx;
    struct question question = {.mode = -1};
    enum pn_rc rc = PN_UNSUPPORTED;

    if (!derivation->fallback && len > 0 && read_question(params, &question))
        rc = answer(&question, out, len);
    if (rc == PN_UNSUPPORTED)
        rc = fallback_of(derivation) && theirs.derive(derivation->fallback, out, len, params) == 1
                 ? PN_OK
                 : PN_NOMEM;
    if (rc != PN_OK)
        return 0;
    if (watcher.on_secret && question.label.len > 0)
        watcher.on_secret(watcher.ctx, question.label, pn_slice(out, len));
    return 1;
}

/* ---- for the provider */

static const OSSL_DISPATCH ours[] = {
    {OSSL_FUNC_KDF_NEWCTX, (dispatch_fn)derivation_new},
    {OSSL_FUNC_KDF_FREECTX, (dispatch_fn)derivation_free},
    {OSSL_FUNC_KDF_RESET, (dispatch_fn)derivation_reset},
    {OSSL_FUNC_KDF_DERIVE, (dispatch_fn)derivation_derive},
    {OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (dispatch_fn)derivation_settable},
    {OSSL_FUNC_KDF_SET_CTX_PARAMS, (dispatch_fn)derivation_set},
    {OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (dispatch_fn)derivation_gettable},
    {OSSL_FUNC_KDF_GET_CTX_PARAMS, (dispatch_fn)derivation_get},
    {0, NULL},
};

static void take(const OSSL_DISPATCH *function)
{
    switch (function->function_id) {
    case OSSL_FUNC_KDF_NEWCTX:
        theirs.newctx = OSSL_FUNC_kdf_newctx(function);
        break;
    case OSSL_FUNC_KDF_FREECTX:
        theirs.freectx = OSSL_FUNC_kdf_freectx(function);
        break;
    case OSSL_FUNC_KDF_RESET:
        theirs.reset = OSSL_FUNC_kdf_reset(function);
        break;
    case OSSL_FUNC_KDF_DERIVE:
        theirs.derive = OSSL_FUNC_kdf_derive(function);
        break;
    case OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS:
        theirs.settable = OSSL_FUNC_kdf_settable_ctx_params(function);
        break;
    case OSSL_FUNC_KDF_SET_CTX_PARAMS:
        theirs.set = OSSL_FUNC_kdf_set_ctx_params(function);
        break;
    case OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS:
        theirs.gettable = OSSL_FUNC_kdf_gettable_ctx_params(function);
        break;
    case OSSL_FUNC_KDF_GET_CTX_PARAMS:
        theirs.get = OSSL_FUNC_kdf_get_ctx_params(function);
        break;
    default: /* a function of a later OpenSSL, which does not miss it */
        break;
    }
}

const OSSL_DISPATCH *pn_signer_watched_kdf(const OSSL_DISPATCH *original)
{
    for (const OSSL_DISPATCH *at = original; at->function_id != 0; at++)
        take(at);
    /* Should one be missing, nobody could watch: then connections stay with OpenSSL. */
    if (!theirs.newctx || !theirs.freectx || !theirs.reset || !theirs.derive || !theirs.settable ||
        !theirs.set || !theirs.gettable || !theirs.get)
        return original;
    return ours;
}
