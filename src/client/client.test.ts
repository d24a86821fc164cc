import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { startInProcess } from '../../test/support/in-process-server.ts';
import { TemporaryRepository } from '../../test/support/temporary-repository.ts';
import { ClientError, KserveGrpcClient, KserveHttpClient, parseEndpoint } from './index.ts';

describe('the address of a server', () => {
  for (const [url, expected] of [
    ['localhost', 'localhost:8000'],
    ['localhost:9', 'localhost:9'],
    ['http://a.b:80', 'a.b:80'],
    ['https://a.b', 'a.b:8000 tls'],
    ['grpcs://a.b:1/', 'a.b:1 tls'],
    ['[::1]:8001', '::1:8001'],
  ] as const) {
    test(`${url} is ${expected}`, () => {
      const { host, port, tls } = parseEndpoint(url, 8000);
      assert.equal(`${host}:${port}${tls ? ' tls' : ''}`, expected);
    });
  }

  for (const url of ['', 'ftp://a', 'a:b', 'a:70000', 'http://a/v2/models', 'a b']) {
    test(`'${url}' is refused`, () => {
      assert.throws(() => parseEndpoint(url, 8000), ClientError);
    });
  }
});

describe('KServe clients', () => {
  for (const protocol of ['http', 'grpc'] as const) {
    test(`ask a server by ${protocol}`, async () => {
      using models = new TemporaryRepository().identity('same', 'TYPE_FP32', '[ -1, 2 ]');
      await using server = await startInProcess(models.path);
      const endpoint = parseEndpoint(server[protocol], 1);
      const client = protocol === 'http' ? new KserveHttpClient(endpoint) : new KserveGrpcClient(endpoint);
      assert.ok(await client.serverReady());
      const { name, versions, inputs, outputs } = await client.modelMetadata('same', '');
      assert.deepEqual([name, versions], ['same', ['1']]);
      assert.deepEqual(inputs, [{ name: 'INPUT0', datatype: 'FP32', shape: [-1, -1, 2] }]);
      assert.equal(outputs.length, 1);
      assert.equal((await client.modelConfig('same', '1')).maxBatchSize, 8);
      const [statistics] = await client.statistics('same', '');
      assert.deepEqual(
        [statistics?.name, statistics?.inferenceCount, statistics?.durations.success.count],
        ['same', 0, 0],
      );
      assert.equal((await client.statistics('', '')).length, 1);
      await assert.rejects(client.modelMetadata('other', ''), (error) => {
        assert.ok(error instanceof ClientError);
        assert.equal(error.failure, 'server');
        assert.match(error.message, /'other' is not found/);
        return true;
      });
      client.close();
    });

    test(`say by ${protocol} that nobody listens, and that it is no KServe server`, async () => {
      const other = createServer((socket) => socket.end('SSH-2.0-x\r\n\r\n'));
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      const { port } = other.address() as AddressInfo;
      for (const [at, failures] of [
        [1, ['connect']],
        [port, ['protocol', 'closed']],
      ] as const) {
        const endpoint = parseEndpoint(`127.0.0.1:${at}`, 1);
        const client = protocol === 'http' ? new KserveHttpClient(endpoint) : new KserveGrpcClient(endpoint);
        await assert.rejects(
          client.modelMetadata('m', ''),
          (error) => error instanceof ClientError && failures.some((each) => each === error.failure),
        );
        client.close();
      }
      other.close();
    });
  }
});
