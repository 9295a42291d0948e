/* pac_certificate.h: the certificate that signs SNS messages: read strictly,
** traced to the roots that are trusted, and used to verify.
**
** A certificate and a trust belong to one thread at a time. All functions empty
** OpenSSL's error queue. */
#ifndef PAC_CERTIFICATE_H
#define PAC_CERTIFICATE_H

#include "pac_topic.h"

/* SNS's own certificate has 2 KB (sns.md 5, duty 12). */
#define PAC_CERTIFICATE_MAX_BYTES (16u * 1024u)

/* PEM texts, ended by NULL: Amazon's intermediates and roots. */
extern const char *const pac_amazon_intermediates[];
extern const char *const pac_amazon_roots[];

/* Which roots are trusted, and the intermediates that lead there. */
typedef struct pac_trust pac_trust;

/* Args: intermediates, roots: PEM texts of one or more certificates each, which
** are added to the built-in ones of Amazon; NULL for none. *out, set on success
** only; free it with pac_trust_free.
** A root must have signed itself.
** Errors: PAC_INVALID, err names which of the two holds something else;
** PAC_NO_MEMORY. */
pac_status pac_trust_new(const char *intermediates, size_t intermediates_length, const char *roots, size_t roots_length,
                         pac_trust **out, pac_err *err) PAC_WARN_UNUSED;

/* Gives up the caller's share; the certificates that were read with it keep
** theirs. NULL is fine. */
void pac_trust_free(pac_trust *trust);

typedef struct pac_certificate pac_certificate;

/* Reads a text that is one PEM certificate and nothing else, with an RSA key of
** 2048 to 4096 bits and an exponent of at least 65537.
** Args: trust, of which the certificate keeps a share; NULL: the certificate is
** trusted as it is, with any name, usage and dates. *out, set on success only;
** free it with pac_certificate_free.
** Returns: NULL, or a fixed reason: bad_certificate, weak_key, system_failure. */
const char *pac_certificate_read(const char *pem, size_t length, pac_trust *trust,
                                 pac_certificate **out) PAC_WARN_UNUSED;

/* NULL is fine. */
void pac_certificate_free(pac_certificate *certificate);

/* The dates of the certificate itself, unix seconds. */
void pac_certificate_times(const pac_certificate *certificate, int64_t *not_before, int64_t *not_after);

/* May the certificate sign for the topic, now? It must lead to a trusted root, be
** no CA, be issued to a server, for signing, and to the name of the topic's
** region (no wildcard), and it and all above it must be within their dates. What
** was found is kept until the topic's name or a date changes it.
** Args: now, unix seconds.
** Returns: NULL, or a fixed reason: untrusted_certificate, certificate_name,
** certificate_dates, system_failure.
** Source: RFC 5280 section 6; names as pac_topic.h says. */
const char *pac_certificate_judge(pac_certificate *certificate, const pac_topic *topic, int64_t now) PAC_WARN_UNUSED;

/* Verifies an RSASSA-PKCS1-v1_5 signature.
** Args: version 1 for SHA-1, 2 for SHA-256; text, the string to sign.
** Returns: NULL, or a fixed reason: bad_signature; sha1_disabled, where the
** policy of the system lets nobody verify SHA-1, as on Red Hat 9; system_failure.
** Source: RFC 8017 section 8.2.2. */
const char *pac_certificate_verify(pac_certificate *certificate, int version, const char *text, size_t length,
                                   const unsigned char *signature, size_t signature_size) PAC_WARN_UNUSED;

/* Does the policy of the system let signatures of this version be verified?
** Returns: 1 or 0. */
int pac_certificate_can_verify(pac_certificate *certificate, int version);

#endif
