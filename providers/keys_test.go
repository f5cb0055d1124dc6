package providers

import (
	"crypto/x509"
	"encoding/pem"
)

// testKeyPEM is a key of the kind that alg needs.
func testKeyPEM(alg string) string {
	var key any = rsaKey
	if alg == "ES256" {
		key = ecKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
