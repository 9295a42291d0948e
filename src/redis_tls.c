/* redis_tls.c: TLS on a connection to Redis, by OpenSSL.
**
** OpenSSL never sees the socket, since its writes would raise SIGPIPE and its
** waits know no limit: it works on two buffers, which this file fills from the
** wire and empties onto it. */
#include "redis_link.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_SIZE      16384 /* the most that one TLS record holds, RFC 8446 section 5.1 */
#define MOST_EMPTY_READS 16    /* where nothing waits; a server has some session tickets to send, no more */

/* An alert of TLS 1.3 that not every OpenSSL has a name for, RFC 8446 section 6. */
#ifndef SSL_AD_CERTIFICATE_REQUIRED
#define SSL_AD_CERTIFICATE_REQUIRED 116
#endif

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
    return REDIS_NO_MEMORY;
  }
  return status;
}

/* What OpenSSL noted about the call that failed. */
typedef struct trouble {
  int is_out_of_memory, is_out_of_files;
  const char *refusal; /* an alert of the other side that only the handshake knows, in words; NULL: none */
} trouble;

/* Alerts that a server sends about a handshake and nothing else, RFC 8446 section 6.2: what it does not like about the
** client's offer, and about its certificate. */
static int is_refusal(int alert) {
  switch (alert) {
  case SSL_AD_HANDSHAKE_FAILURE:
  case SSL_AD_BAD_CERTIFICATE:
  case SSL_AD_UNSUPPORTED_CERTIFICATE:
  case SSL_AD_CERTIFICATE_REVOKED:
  case SSL_AD_CERTIFICATE_EXPIRED:
  case SSL_AD_CERTIFICATE_UNKNOWN:
  case SSL_AD_UNKNOWN_CA:
  case SSL_AD_ACCESS_DENIED:
  case SSL_AD_PROTOCOL_VERSION:
  case SSL_AD_INSUFFICIENT_SECURITY:
  case SSL_AD_UNRECOGNIZED_NAME:
  case SSL_AD_CERTIFICATE_REQUIRED:
    return 1;
  default:
    return 0;
  }
}

/* Empties the queue of errors of this thread. */
static trouble read_trouble(void) {
  trouble found = { 0, 0, NULL };
  for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
    int reason = ERR_GET_REASON(code);
    if (ERR_GET_LIB(code) == ERR_LIB_SYS) {
      found.is_out_of_files |= reason == EMFILE || reason == ENFILE;
      found.is_out_of_memory |= reason == ENOMEM;
    } else if (reason == ERR_R_MALLOC_FAILURE) {
      found.is_out_of_memory = 1;
    } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && is_refusal(reason - SSL_AD_REASON_OFFSET)) {
      found.refusal = ERR_reason_error_string(code);
    }
  }
  return found;
}

redis_status redis_tls_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms) {
  redis_status status = REDIS_DONE;
  while (length > 0 && status == REDIS_DONE) {
    int part = length > RECORD_SIZE ? RECORD_SIZE : (int)length;
    ERR_clear_error();
    if (SSL_write(link->tls->ssl, data, part) != part) {
      status = read_trouble().is_out_of_memory ? REDIS_NO_MEMORY : REDIS_GONE;
      break;
    }
    status = flush(link, ends_at_ms);
    data += part;
    length -= (size_t)part;
    if (status == REDIS_DONE && length > 0 && redis_now_ms() >= ends_at_ms) {
      status = REDIS_LATE;
    }
  }
  ERR_clear_error();
  return status;
}

/* After SSL_read has failed. */
static redis_status end_reading(redis_link *link) {
  trouble found = read_trouble();
  link->refusal = found.refusal;
  return found.is_out_of_memory ? REDIS_NO_MEMORY : REDIS_GONE;
}

/* Feeds until there is something to read. Records that hold nothing of the stream must not hold this up for ever. */
redis_status redis_tls_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms) {
  for (int round = 0;; round++) {
    ERR_clear_error();
    int got = SSL_read(link->tls->ssl, data, size > RECORD_SIZE ? RECORD_SIZE : (int)size);
    if (got > 0) {
      *length = (size_t)got;
      return REDIS_DONE;
    }
    if (SSL_get_error(link->tls->ssl, got) != SSL_ERROR_WANT_READ) {
      return end_reading(link);
    }
    ERR_clear_error();
    if (ends_at_ms > 0 && round > 0 && redis_now_ms() >= ends_at_ms) {
      return REDIS_LATE;
    }
    if (round == MOST_EMPTY_READS && ends_at_ms == 0) {
      return REDIS_GONE;
    }
    redis_status status = flush(link, ends_at_ms) == REDIS_DONE ? feed(link, ends_at_ms) : REDIS_GONE;
    if (status != REDIS_DONE) {
      return status;
    }
  }
}

/* ---- opening ---- */

static int say(char *message, const char *what) {
  ERR_clear_error();
  snprintf(message, REDIS_MESSAGE_SIZE, "%s", what);
  return 0;
}

/* Says what is wrong, unless this process lacks something that OpenSSL needs. */
static int say_or_lack(char *message, trouble found, const char *what) {
  if (found.is_out_of_memory) {
    return say(message, REDIS_NO_MEMORY_MESSAGE);
  }
  return say(message, found.is_out_of_files ? REDIS_NO_FILES_MESSAGE : what);
}

/* Stands in for OpenSSL's own, which asks on the terminal and waits for ever. `data` is an int. */
static int refuse_password(char *password, int size, int is_writing, void *data) {
  (void)password;
  (void)size;
  (void)is_writing;
  *(int *)data = 1;
  return -1;
}

static int load_own_files(SSL_CTX *context, const redis_target *target, char *message) {
  int was_asked = 0;
  SSL_CTX_set_default_passwd_cb(context, refuse_password);
  SSL_CTX_set_default_passwd_cb_userdata(context, &was_asked);
  int is_done = SSL_CTX_use_certificate_chain_file(context, target->certificate_file) == 1 &&
                SSL_CTX_use_PrivateKey_file(context, target->key_file, SSL_FILETYPE_PEM) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
  if (was_asked) {
    return say(message, "tls.key_file must not be encrypted with a password");
  }
  return is_done || say_or_lack(message, read_trouble(),
                                "tls.certificate_file and tls.key_file cannot be read as PEM, "
                                "or do not belong together");
}

static int load_files(SSL_CTX *context, const redis_target *target, char *message) {
  ERR_clear_error();
  if (target->ca_file ? SSL_CTX_load_verify_locations(context, target->ca_file, NULL) != 1
                      : SSL_CTX_set_default_verify_paths(context) != 1) {
    return say_or_lack(message, read_trouble(), "tls.ca_file cannot be read as PEM certificates");
  }
  return !target->certificate_file || load_own_files(context, target, message);
}

static SSL_CTX *new_context(const redis_target *target, char *message) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context) {
    say(message, REDIS_NO_MEMORY_MESSAGE);
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
  trouble found = read_trouble();
  long problem = SSL_get_verify_result(ssl);
  if (found.is_out_of_memory || problem == X509_V_ERR_OUT_OF_MEM) {
    return say(message, REDIS_NO_MEMORY_MESSAGE);
  } else if (problem != X509_V_OK) {
    snprintf(message, REDIS_MESSAGE_SIZE, "the certificate of the server was not accepted (%s)",
             X509_verify_cert_error_string(problem));
  } else if (found.refusal) {
    snprintf(message, REDIS_MESSAGE_SIZE,
             "the server refused the TLS handshake (%s): check that it speaks TLS 1.2 or newer and, with "
             "tls-auth-clients, the client certificate",
             found.refusal);
  } else {
    say(message, "the TLS handshake failed, check that this port speaks TLS 1.2 or newer");
  }
  return 0;
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
    if (status == REDIS_NO_MEMORY) {
      return say(message, REDIS_NO_MEMORY_MESSAGE);
    } else if (status == REDIS_LATE || (status == REDIS_DONE && redis_now_ms() >= ends_at_ms)) {
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
  return is_made ? shake_hands(link, ends_at_ms, message) : say(message, REDIS_NO_MEMORY_MESSAGE);
}
