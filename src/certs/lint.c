/* SPDX-License-Identifier: Apache-2.0
 *
 * See lint.h.
 */
#include "certs/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define RSA_BITS_MIN 2048
#define EC_BITS_MIN  224

static void add(struct pn_lint_report *report, enum pn_lint_code code, const char *format, ...)
    PN_PRINTF(3, 4);

static void add(struct pn_lint_report *report, enum pn_lint_code code, const char *format, ...)
{
    struct pn_lint_finding *finding;
    va_list args;

    if (pn_lint_has(report, code))
        return;
    finding = &report->findings[report->count++];
    finding->code = code;
    va_start(args, format);
    vsnprintf(finding->message, sizeof finding->message, format, args);
    va_end(args);
}

static void check_validity(const struct pn_certificate *leaf, int64_t now_unix_s,
                           struct pn_lint_report *report)
{
    char when[PN_TIME_TEXT];

    if (now_unix_s > pn_certificate_not_after(leaf)) {
        pn_time_iso8601(pn_certificate_not_after(leaf), when);
        add(report, PN_LINT_EXPIRED,
            "the certificate expired at %s: backends will refuse it; renew it", when);
    }
    if (now_unix_s < pn_certificate_not_before(leaf)) {
        pn_time_iso8601(pn_certificate_not_before(leaf), when);
        add(report, PN_LINT_NOT_YET_VALID,
            "the certificate is not valid before %s: check the clocks, or wait", when);
    }
}

static void check_key(const struct pn_certificate *certificate, const char *which,
                      struct pn_lint_report *report)
{
    enum pn_key_type type = pn_certificate_key_type(certificate);
    int bits = pn_certificate_key_bits(certificate);
    bool is_rsa = type == PN_KEY_RSA || type == PN_KEY_RSA_PSS;

    if ((is_rsa && bits < RSA_BITS_MIN) || (type == PN_KEY_EC && bits < EC_BITS_MIN))
        add(report, PN_LINT_WEAK_KEY,
            "%s has a %s key of %d bits: most servers refuse it; use RSA with %d bits or P-256",
            which, pn_key_type_name(type), bits, RSA_BITS_MIN);
}

static void check_signature(const struct pn_certificate *certificate, const char *which,
                            struct pn_lint_report *report)
{
    const char *digest = pn_certificate_signature_digest(certificate);

    /* A root is trusted because one has it, not for its signature. */
    if (pn_certificate_is_self_signed(certificate) && pn_certificate_is_ca(certificate))
        return;
    if (strcmp(digest, "MD5") == 0 || strcmp(digest, "SHA1") == 0 || strcmp(digest, "MD4") == 0 ||
        strcmp(digest, "MD5-SHA1") == 0)
        add(report, PN_LINT_WEAK_SIGNATURE,
            "%s is signed with %s: most servers refuse it; have it issued with SHA-256", which,
            digest);
}

void pn_lint_client_chain(const struct pn_chain *chain, int64_t now_unix_s,
                          struct pn_lint_report *report)
{
    const struct pn_certificate *leaf = pn_chain_leaf(chain);

    memset(report, 0, sizeof *report);
    check_validity(leaf, now_unix_s, report);
    if (!pn_certificate_allows_client_auth(leaf))
        add(report, PN_LINT_MISSING_CLIENT_AUTH_EKU,
            "the extended key usages of the certificate do not hold clientAuth "
            "(1.3.6.1.5.5.7.3.2): backends may refuse it as a client certificate");
    for (size_t i = 0; i < pn_chain_count(chain); i++) {
        const char *which = i == 0 ? "the certificate" : "an issuer in its chain";

        check_key(pn_chain_at(chain, i), which, report);
        check_signature(pn_chain_at(chain, i), which, report);
    }
    if (pn_certificate_is_ca(leaf))
        add(report, PN_LINT_CA_AS_LEAF,
            "the certificate is a CA's: issue a client certificate with it and use that one");
    if (pn_certificate_is_self_signed(leaf))
        add(report, PN_LINT_SELF_SIGNED,
            "the certificate is self-signed: each backend must trust exactly this certificate");
    else if (!pn_chain_is_complete(chain))
        add(report, PN_LINT_CHAIN_INCOMPLETE,
            "the issuer of \"%.120s\" is not in the file: backends that know only the root need "
            "every certificate in between",
            pn_certificate_subject(pn_chain_at(chain, pn_chain_count(chain) - 1)));
}

const char *pn_lint_code_name(enum pn_lint_code code)
{
    switch (code) {
    case PN_LINT_EXPIRED:
        return "expired";
    case PN_LINT_NOT_YET_VALID:
        return "not_yet_valid";
    case PN_LINT_MISSING_CLIENT_AUTH_EKU:
        return "missing_client_auth_eku";
    case PN_LINT_WEAK_KEY:
        return "weak_key";
    case PN_LINT_WEAK_SIGNATURE:
        return "weak_signature";
    case PN_LINT_CA_AS_LEAF:
        return "ca_as_leaf";
    case PN_LINT_SELF_SIGNED:
        return "self_signed";
    case PN_LINT_CHAIN_INCOMPLETE:
        return "chain_incomplete";
    case PN_LINT_COUNT:
        break;
    }
    return "unknown";
}

bool pn_lint_has(const struct pn_lint_report *report, enum pn_lint_code code)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].code == code)
            return true;
    return false;
}
