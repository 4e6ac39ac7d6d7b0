/* SPDX-License-Identifier: Apache-2.0
 *
 * Record layer: its life.
 */
#include "tls/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "tls/record_internal.h"

size_t pn_records_secret_len(uint16_t suite)
{
    const struct pn_record_cipher *cipher = pn_record_cipher_find(suite);

    return cipher ? pn_record_cipher_secret_len(cipher) : 0;
}

enum pn_rc pn_records_create(const struct pn_records_spec *spec, struct pn_records **out)
{
    const struct pn_record_cipher *cipher = pn_record_cipher_find(spec->suite);
    struct pn_records *records;
    size_t len;

    if (!cipher)
        return PN_UNSUPPORTED;
    records = calloc(1, sizeof(*records));
    if (!records)
        return PN_NOMEM;
    len = pn_record_cipher_secret_len(cipher);
    records->cipher = cipher;
    records->is_client = spec->is_client;
    records->key_records_max =
        spec->key_records_max ? spec->key_records_max : PN_RECORD_KEY_RECORDS_MAX;
    records->empty_records_max = spec->empty_records_max;
    records->fault = (struct pn_record_fault){PN_ALERT_NONE, -1, false, ""};
    memcpy(records->in.secret, spec->secret_in, len);
    memcpy(records->out.secret, spec->secret_out, len);
    records->in.sequence = spec->sequence_in;
    records->out.sequence = spec->sequence_out;
    *out = records;
    return PN_OK;
}

void pn_records_rest(struct pn_records *records)
{
    pn_record_half_rest(&records->in);
    pn_record_half_rest(&records->out);
}

void pn_records_destroy(struct pn_records *records)
{
    if (!records)
        return;
    pn_records_rest(records);
    pn_wipe(records, sizeof(*records));
    free(records);
}

const struct pn_record_fault *pn_records_fault(const struct pn_records *records)
{
    return &records->fault;
}
