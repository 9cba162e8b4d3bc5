// Compiles the contracts of this workspace with npm solc: name -> {abi, bytecode, runtime}.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import solc from "solc";

export function compile(folder) {
  const names = readdirSync(folder);
  const sources = Object.fromEntries(
    names.map((name) => [name, { content: readFileSync(join(folder, name), "utf8") }]),
  );
  const input = {
    language: "Solidity",
    sources,
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const read = (path) => ({ contents: readFileSync(join("node_modules", path), "utf8") });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (errors.length > 0) {
    throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join("\n"));
  }
  const contracts = names.flatMap((name) => Object.entries(output.contracts[name]));
  return Object.fromEntries(
    contracts.map(([name, { abi, evm }]) => [
      name,
      {
        abi,
        bytecode: `0x${evm.bytecode.object}`,
        runtime: `0x${evm.deployedBytecode.object}`,
      },
    ]),
  );
}
