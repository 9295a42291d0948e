--- Nothing but an RSA verification inside a worker, straight through libcrypto, which nginx has loaded anyway.
local ffi = require "ffi"

ffi.cdef [[
void *BIO_new_mem_buf(const void *text, int length);
void BIO_free_all(void *bio);
void *PEM_read_bio_X509(void *bio, void **certificate, void *callback, void *user);
void *X509_get_pubkey(void *certificate);
void *EVP_MD_CTX_new(void);
const void *EVP_sha256(void);
int EVP_DigestVerifyInit(void *context, void **key_context, const void *digest, void *engine, void *key);
int EVP_DigestVerify(void *context, const char *signature, size_t signature_length, const char *text, size_t length);
]]

local rsa = {}

local verify

--- Prepares the verification of one signature, in the master or a worker. Key and context live as long as the process.
-- @tparam string pem certificate
-- @tparam string text what was signed
-- @tparam string signature its bytes
function rsa.prepare(pem, text, signature)
  local bio = ffi.C.BIO_new_mem_buf(pem, #pem)
  local key = ffi.C.X509_get_pubkey(ffi.C.PEM_read_bio_X509(bio, nil, nil, nil))
  ffi.C.BIO_free_all(bio)
  local context, digest = ffi.C.EVP_MD_CTX_new(), ffi.C.EVP_sha256()
  verify = function()
    assert(ffi.C.EVP_DigestVerifyInit(context, nil, digest, nil, key) == 1)
    assert(ffi.C.EVP_DigestVerify(context, signature, #signature, text, #text) == 1, "the signature does not fit")
  end
end

--- Verifies it; raises when the signature does not fit.
function rsa.verify()
  verify()
end

return rsa
