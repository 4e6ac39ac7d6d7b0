/* SPDX-License-Identifier: Apache-2.0
 *
 * Text forms of bytes.
 */
#include "base/encode.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static enum pn_rc encode64(struct pn_slice bytes, const char *alphabet, bool with_padding,
                           struct pn_buf *out)
{
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    enum pn_rc rc;

    if (bytes.len > SIZE_MAX / 2)
        return PN_LIMIT;
    rc = pn_buf_reserve(out, (bytes.len + 2) / 3 * 4);
    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)in[i] << 16;

        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        out->ptr[out->len++] = alphabet[group >> 18];
        out->ptr[out->len++] = alphabet[group >> 12 & 63];
        if (left > 1)
            out->ptr[out->len++] = alphabet[group >> 6 & 63];
        else if (with_padding)
            out->ptr[out->len++] = '=';
        if (left > 2)
            out->ptr[out->len++] = alphabet[group & 63];
        else if (with_padding)
            out->ptr[out->len++] = '=';
    }
    return PN_OK;
}

enum pn_rc pn_base64_encode(struct pn_slice bytes, struct pn_buf *out)
{
    return encode64(bytes, base64_alphabet, true, out);
}

enum pn_rc pn_basic_credentials(struct pn_slice user, struct pn_slice password, struct pn_buf *out)
{
    struct pn_buf pair;
    enum pn_rc rc;

    pn_buf_init_secret(&pair, user.len + password.len + 1);
    rc = pn_buf_append_slice(&pair, user);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(&pair, ':');
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&pair, password);
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "Basic ");
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_buf_slice(&pair), out);
    pn_buf_fini(&pair);
    return rc;
}

enum pn_rc pn_base64url_encode(struct pn_slice bytes, struct pn_buf *out)
{
    return encode64(bytes, base64url_alphabet, false, out);
}

static int value64(char c, char char62, char char63)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == char62)
        return 62;
    return c == char63 ? 63 : -1;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Strict about the rest: padding only at the end and of the right length, unused bits zero. */
static enum pn_rc decode64(struct pn_slice text, char char62, char char63, bool skips_white,
                           bool needs_padding, struct pn_buf *out)
{
    uint32_t group = 0;
    unsigned have = 0;
    unsigned padding = 0;
    enum pn_rc rc =
        pn_buf_reserve(out, text.len / 4 * 3 + 3 <= out->max ? text.len / 4 * 3 + 3 : 0);

    for (size_t i = 0; i < text.len && rc == PN_OK; i++) {
        int value;

        if (skips_white && is_white(text.ptr[i]))
            continue;
        if (text.ptr[i] == '=') {
            padding++;
            continue;
        }
        value = value64(text.ptr[i], char62, char63);
        if (value < 0 || padding > 0)
            return PN_MALFORMED;
        group = group << 6 | (uint32_t)value;
        if (++have == 4) {
            const char bytes[3] = {(char)(group >> 16), (char)(group >> 8), (char)group};

            rc = pn_buf_append(out, bytes, 3);
            group = 0;
            have = 0;
        }
    }
    if (rc != PN_OK)
        return rc;
    if (have == 1 || (padding > 0 && have + padding != 4) ||
        (have > 0 && needs_padding && padding == 0))
        return PN_MALFORMED;
    if (have == 2)
        return (group & 15) != 0 ? PN_MALFORMED : pn_buf_append_byte(out, (char)(group >> 4));
    if (have == 3) {
        const char bytes[2] = {(char)(group >> 10), (char)(group >> 2)};

        return (group & 3) != 0 ? PN_MALFORMED : pn_buf_append(out, bytes, 2);
    }
    return padding > 0 ? PN_MALFORMED : PN_OK;
}

enum pn_rc pn_base64_decode(struct pn_slice text, struct pn_buf *out)
{
    return decode64(text, '+', '/', true, true, out);
}

enum pn_rc pn_base64url_decode(struct pn_slice text, struct pn_buf *out)
{
    return decode64(text, '-', '_', false, false, out);
}

static void hex(const void *bytes, size_t len, const char *digits, char *out)
{
    const unsigned char *in = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = 0;
}

void pn_hex_lower(const void *bytes, size_t len, char *out)
{
    hex(bytes, len, "0123456789abcdef", out);
}

void pn_hex_upper(const void *bytes, size_t len, char *out)
{
    hex(bytes, len, "0123456789ABCDEF", out);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool pn_hex_decode(struct pn_slice text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(text.ptr[2 * i]);
        int low = hex_value(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void pn_random(void *out, size_t len)
{
    char *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0)
            abort(); /* only before the kernel's generator exists; no safe way on */
        at += got;
        len -= (size_t)got;
    }
}

void pn_uuid_v4(char out[PN_UUID_TEXT])
{
    uint8_t b[16];
    char digits[33];

    pn_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    pn_hex_lower(b, sizeof(b), digits);
    snprintf(out, PN_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12,
             digits + 16, digits + 20);
}

bool pn_is_uuid(struct pn_slice text)
{
    if (text.len != PN_UUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? text.ptr[i] != '-' : hex_value(text.ptr[i]) < 0)
            return false;
    }
    return true;
}

static enum pn_rc percent_decode(struct pn_slice text, bool plus_is_space, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < text.len && rc == PN_OK; i++) {
        uint8_t byte;

        if (text.ptr[i] == '%') {
            if (!pn_hex_decode(pn_slice_sub(text, i + 1, 2), &byte, 1))
                return PN_MALFORMED;
            i += 2;
        } else {
            byte = plus_is_space && text.ptr[i] == '+' ? ' ' : (uint8_t)text.ptr[i];
        }
        rc = pn_buf_append_byte(out, (char)byte);
    }
    return rc;
}

enum pn_rc pn_percent_decode(struct pn_slice text, struct pn_buf *out)
{
    return percent_decode(text, false, out);
}

enum pn_rc pn_form_decode(struct pn_slice text, struct pn_buf *out)
{
    return percent_decode(text, true, out);
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

enum pn_rc pn_percent_encode(struct pn_slice text, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < text.len && rc == PN_OK; i++) {
        if (is_unreserved(text.ptr[i]))
            rc = pn_buf_append_byte(out, text.ptr[i]);
        else
            rc = pn_buf_printf(out, "%%%02X", (unsigned)(unsigned char)text.ptr[i]);
    }
    return rc;
}

static void digest(const EVP_MD *md, struct pn_slice bytes, uint8_t *out)
{
    if (EVP_Digest(bytes.ptr, bytes.len, out, NULL, md, NULL) != 1)
        abort();
}

void pn_sha1(struct pn_slice bytes, uint8_t out[PN_SHA1_BYTES])
{
    digest(EVP_sha1(), bytes, out);
}

void pn_sha256(struct pn_slice bytes, uint8_t out[PN_SHA256_BYTES])
{
    digest(EVP_sha256(), bytes, out);
}

void pn_sha256_hex(struct pn_slice bytes, char out[65])
{
    uint8_t hash[PN_SHA256_BYTES];

    pn_sha256(bytes, hash);
    pn_hex_lower(hash, sizeof(hash), out);
}
