package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// serve answers every request with the pod's name; SIGTERM ends it at once, with connections open, unless -graceful.
func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	graceful := flags.Bool("graceful", false, "finish the requests that run when SIGTERM comes")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	name, _ := os.Hostname()
	server := &http.Server{
		Addr:              flags.Arg(0),
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(answer, name)
		}),
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	stopped := make(chan error, 1)
	go func() {
		<-signals
		if !*graceful {
			os.Exit(143)
		}
		stopped <- server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return <-stopped
}
