// Stands in for Redis, in which Argo CD keeps a cache and nothing else: miniredis, the server of Argo CD's own tests.
// Started by tests/lab/argocd.py with the address to listen on.
package main

import (
	"log"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	// Its clock stands still until it is told that time passed, and nothing would ever expire.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
