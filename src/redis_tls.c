/* redis_tls.c: TLS on a connection to Redis, by OpenSSL.
**
** OpenSSL never sees the socket, since its writes would raise SIGPIPE and its
** waits know no limit: it works on two buffers, which this file fills from the
** wire and empties onto it. */
#include "redis_link.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_SIZE 16384 /* the most that one TLS record holds, RFC 8446 section 5.1 */

struct redis_tls {
  SSL *ssl;         /* owned; owns the two buffers */
  BIO *came, *goes; /* bytes of the wire, in and out */
};

void redis_tls_close(redis_link *link) {
  if (link->tls) {
    SSL_free(link->tls->ssl);
    free(link->tls);
    link->tls = NULL;
  }
}

/* Sends what OpenSSL has written. */
static redis_status flush(redis_link *link, int64_t ends_at_ms) {
  char *data;
  long length = BIO_get_mem_data(link->tls->goes, &data);
  redis_status status = length > 0 ? redis_raw_write(link, data, (size_t)length, ends_at_ms) : REDIS_DONE;
  (void)BIO_reset(link->tls->goes);
  return status;
}

/* Gives OpenSSL the next bytes of the wire. */
static redis_status feed(redis_link *link, int64_t ends_at_ms) {
  char data[RECORD_SIZE];
  size_t length;
  redis_status status = redis_raw_read(link, data, sizeof data, &length, ends_at_ms);
  if (status == REDIS_DONE && BIO_write(link->tls->came, data, (int)length) != (int)length) {
    return REDIS_GONE;
  }
  return status;
}

redis_status redis_tls_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms) {
  redis_status status = REDIS_DONE;
  while (length > 0 && status == REDIS_DONE) {
    int part = length > RECORD_SIZE ? RECORD_SIZE : (int)length;
    ERR_clear_error();
    if (SSL_write(link->tls->ssl, data, part) != part) {
      status = REDIS_GONE;
      break;
    }
    status = flush(link, ends_at_ms);
    data += part;
    length -= (size_t)part;
  }
  ERR_clear_error();
  return status;
}

redis_status redis_tls_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms) {
  redis_status status;
  do {
    ERR_clear_error();
    int got = SSL_read(link->tls->ssl, data, size > RECORD_SIZE ? RECORD_SIZE : (int)size);
    if (got > 0) {
      *length = (size_t)got;
      return REDIS_DONE;
    }
    int wants_more = SSL_get_error(link->tls->ssl, got) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    if (!wants_more) {
      return REDIS_GONE;
    }
    status = flush(link, ends_at_ms) == REDIS_DONE ? feed(link, ends_at_ms) : REDIS_GONE;
  } while (status == REDIS_DONE);
  return status;
}

/* ---- opening ---- */

static int say(char *message, const char *what) {
  ERR_clear_error();
  snprintf(message, REDIS_MESSAGE_SIZE, "%s", what);
  return 0;
}

static int load_files(SSL_CTX *context, const redis_target *target, char *message) {
  if (target->ca_file ? SSL_CTX_load_verify_locations(context, target->ca_file, NULL) != 1
                      : SSL_CTX_set_default_verify_paths(context) != 1) {
    return say(message, "tls.ca_file cannot be read as PEM certificates");
  }
  if (target->certificate_file && (SSL_CTX_use_certificate_chain_file(context, target->certificate_file) != 1 ||
                                   SSL_CTX_use_PrivateKey_file(context, target->key_file, SSL_FILETYPE_PEM) != 1)) {
    return say(message, "tls.certificate_file and tls.key_file cannot be read as PEM, or do not belong together");
  }
  return 1;
}

static SSL_CTX *new_context(const redis_target *target, char *message) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context) {
    say(message, "not enough memory for TLS");
    return NULL;
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 || !load_files(context, target, message)) {
    SSL_CTX_free(context);
    return NULL;
  }
  return context;
}

/* The certificate must bear the name or, when it is one, the address. */
static int expect_name(SSL *ssl, const char *name) {
  X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1) {
    return 1; /* an address is not sent as a server name, RFC 6066 section 3 */
  }
  return X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* The session owns its context and its buffers from here on. */
static int new_session(redis_link *link, SSL_CTX *context, const char *name) {
  redis_tls *tls = calloc(1, sizeof *tls);
  if (!tls) {
    return 0;
  }
  link->tls = tls;
  tls->ssl = SSL_new(context);
  tls->came = BIO_new(BIO_s_mem());
  tls->goes = BIO_new(BIO_s_mem());
  if (!tls->ssl || !tls->came || !tls->goes || !expect_name(tls->ssl, name)) {
    BIO_free(tls->came);
    BIO_free(tls->goes);
    return 0;
  }
  BIO_set_mem_eof_return(tls->came, -1);
  SSL_set_bio(tls->ssl, tls->came, tls->goes);
  SSL_set_connect_state(tls->ssl);
  return 1;
}

static int say_refused(SSL *ssl, char *message) {
  long problem = SSL_get_verify_result(ssl);
  if (problem != X509_V_OK) {
    snprintf(message, REDIS_MESSAGE_SIZE, "the certificate of the server was not accepted (%s)",
             X509_verify_cert_error_string(problem));
    ERR_clear_error();
    return 0;
  }
  return say(message, "the TLS handshake failed, check that this port speaks TLS 1.2 or newer");
}

static int shake_hands(redis_link *link, int64_t ends_at_ms, char *message) {
  for (;;) {
    ERR_clear_error();
    int result = SSL_do_handshake(link->tls->ssl);
    int wants_more = result != 1 && SSL_get_error(link->tls->ssl, result) == SSL_ERROR_WANT_READ;
    redis_status status = flush(link, ends_at_ms); /* an alert that tells the other side why, too */
    if (result != 1 && !wants_more) {
      return say_refused(link->tls->ssl, message);
    }
    if (status == REDIS_DONE && result == 1) {
      ERR_clear_error();
      return 1;
    }
    status = status == REDIS_DONE ? feed(link, ends_at_ms) : status;
    if (status == REDIS_LATE) {
      return say(message, "the TLS handshake was not done in time, check that this port speaks TLS");
    } else if (status == REDIS_GONE) {
      return say(message, "the server ended the TLS handshake, check that this port speaks TLS");
    }
  }
}

int redis_tls_open(redis_link *link, const redis_target *target, int64_t ends_at_ms, char *message) {
  SSL_CTX *context = new_context(target, message);
  if (!context) {
    return 0;
  }
  int is_made = new_session(link, context, target->server_name);
  SSL_CTX_free(context); /* the session keeps it */
  return is_made ? shake_hands(link, ends_at_ms, message) : say(message, "not enough memory for TLS");
}
