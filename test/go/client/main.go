// A gRPC client in Go, as others would write one: it calls a Goodput server by messages that it takes for bytes.
//
//	client ADDRESS METHOD TIMES    reads one message from standard input, writes the last answer to standard output
//	client ADDRESS stream TIMES    sends the message so often over one ModelStreamInfer call
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
)

type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (bytesCodec) Name() string { return "proto" }

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, method, times string) error {
	count, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		return err
	}
	defer connection.Close()
	if method == "stream" {
		return stream(connection, message, count)
	}
	return unary(connection, method, message, count)
}

// unary makes all calls at once, over one connection.
func unary(connection *grpc.ClientConn, method string, message []byte, count int) error {
	answers := make([][]byte, count)
	errors := make([]error, count)
	var calls sync.WaitGroup
	for i := 0; i < count; i++ {
		calls.Add(1)
		go func(i int) {
			defer calls.Done()
			options := []grpc.CallOption{}
			if i%2 == 1 {
				options = append(options, grpc.UseCompressor(gzip.Name))
			}
			errors[i] = connection.Invoke(context.Background(), method, &message, &answers[i], options...)
		}(i)
	}
	calls.Wait()
	for i, err := range errors {
		if err != nil {
			return err
		}
		if len(answers[i]) != len(answers[0]) {
			return fmt.Errorf("call %d got %d bytes, the first one %d", i, len(answers[i]), len(answers[0]))
		}
	}
	_, err := os.Stdout.Write(answers[0])
	return err
}

func stream(connection *grpc.ClientConn, message []byte, count int) error {
	description := &grpc.StreamDesc{StreamName: "ModelStreamInfer", ServerStreams: true, ClientStreams: true}
	call, err := connection.NewStream(context.Background(), description, "/inference.GRPCInferenceService/ModelStreamInfer")
	if err != nil {
		return err
	}
	for i := 0; i < count; i++ {
		if err := call.SendMsg(&message); err != nil {
			return err
		}
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	answers := 0
	var answer []byte
	for {
		err := call.RecvMsg(&answer)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		answers++
	}
	fmt.Print(answers)
	return nil
}
