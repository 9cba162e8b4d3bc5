// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// A dollar as MegaETH has it: 18 decimals, ERC-2612, no EIP-3009. Anybody may mint.
contract MegaUSD is ERC20("MegaUSD", "USDm"), ERC20Permit("MegaUSD") {
    function mint(address to, uint256 value) external {
        _mint(to, value);
    }
}
