// Traffic is the program that runs on the lab's real nodes: the server in the pods, and the clients that count.
//
//	traffic pause                              the sandbox of a pod
//	traffic serve :8080                        HTTP, exits at once on SIGTERM; -graceful finishes what runs
//	traffic http -rate 200 -for 10s ADDRESS    a request each 5 ms; what was lost, as JSON
//	traffic dns -port 40000 ADDRESS NAME       a question each 100 ms from one source port, as JSON
//
// The clients print one line per second on stderr and the whole result on stdout when they end.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	commands := map[string]func([]string) error{"pause": pause, "serve": serve, "http": load, "dns": ask}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "traffic: pause, serve, http or dns")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

func pause([]string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return nil
}
